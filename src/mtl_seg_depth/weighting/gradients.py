"""What the methods share that combine the tasks' gradients instead of their losses."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_seg_depth.system.processes import averaged
from mtl_seg_depth.weighting.weighting import Losses, Weighting

DIVISOR = torch.finfo(torch.float64).tiny
"""Smallest divisor: a task without gradient gives no nan."""


class GradientWeighting(Weighting):
    """Base: every task's own gradient is computed, and those of shared parameters are summed with weights.

    Shared is a parameter that gets a gradient from more than one task: in `joint` nearly all of them, in `branched`
    the encoder's. A parameter of one task takes that task's gradient as it is, so a network of one task is trained
    as if there were no method. But for NashMTL and FairGrad everything is on the scale of the plain sum of the losses:
    for gradients that are orthogonal and of one length the weights are 1, or little more. Weights that sum to 1 in a
    paper are taken K times for that.

    What the methods see is a task's gradient over all shared parameters as one vector, with zeros where a parameter is
    shared by other tasks only. That is the problem that their papers solve, with one set of weights for the whole
    update, and it gives what they promise for the whole update; weights for each group of tasks that share something
    would promise it in each group alone. So a parameter is updated by the weighted sum over the tasks that reach it. A
    task that reaches no shared parameter has no part in this, and weighs 1: a vector of zeros would look like a task
    that no update can help.

    Weights depend on nothing but the inner products of these vectors (the Gram matrix); a method that needs the vectors
    themselves has a `merge` of its own. For two tasks they are a
    formula of few operations; for more, a solver with a fixed number of iterations on the device. Neither waits for
    the host, and both can be captured. Each task costs a backward pass and the memory of its gradients.
    """

    combines_gradients = True

    cosines: Tensor
    """[K, K], between the tasks' gradients over the shared parameters, in the newest step.

    0 between tasks that share nothing with each other, nan where no parameter is shared at all."""
    sharing: list[int]
    """The k tasks that reach a shared parameter."""

    def __init__(self, **weighting: Any) -> None:
        super().__init__(**weighting)
        size = len(self.tasks)
        self.register_buffer("cosines", torch.full((size, size), torch.nan), persistent=False)
        self.sharing = list(range(size))

    def combine(self, gram: Tensor) -> Tensor:
        """The weights [k] of two gradients or more, from their inner products [k, k] in float64."""
        return self.combine_two(gram) if len(gram) == 2 else self.combine_many(gram)

    def combine_two(self, gram: Tensor) -> Tensor:
        """A formula for two gradients, where a method has one."""
        return self.combine_many(gram)

    def combine_many(self, gram: Tensor) -> Tensor:
        """The weights of any number of gradients."""
        raise NotImplementedError(f"{type(self).__name__} has no combine_many()")

    def backward(self, losses: Losses, network: nn.Module) -> None:
        """Leave the combined gradients, and each parameter of one task alone with that task's."""
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        gradients, in_order = [], []
        for task in self.tasks:
            # Through `.grad` rather than autograd.grad: there torch gives a gradient its parameter's memory layout,
            # which fused optimisers rely on.
            torch.autograd.backward(losses[task], retain_graph=task != self.tasks[-1])
            gradients.append([parameter.grad for parameter in parameters])
            network.zero_grad(set_to_none=True)
            # Over all processes, while the next task's gradient is computed.
            in_order.append(averaged([gradient for gradient in gradients[-1] if gradient is not None]))
        for finish in in_order:
            finish()
        self.weights.fill_(1)
        shared: dict[int, list[Tensor | None]] = {}
        for index, (parameter, *own) in enumerate(zip(parameters, *gradients, strict=True)):
            present = [gradient for gradient in own if gradient is not None]
            parameter.grad = present[0] if present else None
            if len(present) > 1:
                shared[index] = own
        if shared:
            columns = list(zip(*shared.values(), strict=True))
            self.sharing = [task for task, own in enumerate(columns) if any(g is not None for g in own)]
            self.merge({index: [own[task] for task in self.sharing] for index, own in shared.items()})

    @torch.no_grad()
    def merge(self, shared: Mapping[int, Sequence[Tensor | None]]) -> None:
        """Turn each parameter's first gradient into the weighted sum, in place.

        Args:
            shared: by a shared parameter's number among those that are trained, the gradients of the k tasks in
                `sharing`; None if a task does not reach it.
        """
        gram = gram_matrix(list(shared.values()))
        weights = self.combine(gram)
        columns = list(zip(*shared.values(), strict=True))
        for column, weight in zip(columns, weights.to(self.weights.dtype), strict=True):
            torch._foreach_mul_([gradient for gradient in column if gradient is not None], weight)
        sums = [next(gradient for gradient in own if gradient is not None) for own in shared.values()]
        for column in columns[1:]:
            pairs = [(x, y) for x, y in zip(sums, column, strict=True) if y is not None and y is not x]
            if pairs:
                torch._foreach_add_([x for x, _ in pairs], [y for _, y in pairs])
        self.note(gram, weights)

    def note(self, gram: Tensor, weights: Tensor) -> None:
        """Keep what is logged of the tasks in `sharing`: their weights [k], and the cosines of their gradients."""
        squares = gram.diagonal()
        cosines = gram / torch.outer(squares, squares).sqrt().clamp(min=DIVISOR)
        if len(self.sharing) < len(self.tasks):
            own = torch.eye(len(self.tasks), dtype=gram.dtype, device=gram.device)
            place = torch.stack([own[task] for task in self.sharing])
            weights = weights @ place + (1 - place.sum(dim=0))
            cosines = place.T @ cosines @ place
        self.cosines.copy_(cosines)
        self.weights.copy_(weights)

    def logged(self) -> dict[str, Tensor]:
        """The weights, of shared parameters only, and the cosine between the gradients of each two tasks."""
        pairs = list(itertools.combinations(range(len(self.tasks)), 2))
        names = [f"gradient_cosine/{self.tasks[a]}-{self.tasks[b]}" for a, b in pairs]
        names = ["gradient_cosine"] if len(pairs) == 1 else names
        return {**super().logged(), **{name: self.cosines[pair] for name, pair in zip(names, pairs, strict=True)}}


def shares_nothing(network: nn.Module) -> bool:
    """Whether no trained parameter of a network is reached by two tasks, as one look at a small image shows."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    training = network.training
    network.eval()  # for running statistics, and so that one image is enough
    predictions = network(torch.zeros(1, 3, 32, 32, device=parameters[0].device))
    network.train(training)
    reached = torch.zeros(len(parameters))
    for raw in predictions.values():
        whole = torch.stack([prediction.sum() for prediction in raw]).sum()
        gradients = torch.autograd.grad(whole, parameters, retain_graph=True, allow_unused=True)
        reached += torch.tensor([gradient is not None for gradient in gradients])
    return bool(reached.max() < 2)


def gram_matrix(shared: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """Inner products [k, k] in float64 of k lists of tensors as of k long vectors, None standing for zeros.

    Args:
        shared: of each parameter the k tensors, at least one of them.
    """
    if len(shared[0]) == 2:
        first, second = (
            [gradient for gradient in column if gradient is not None] for column in zip(*shared, strict=True)
        )
        a, b, c = inner(first, first), inner(first, second), inner(second, second)
        return torch.stack([a, b, b, c]).view(2, 2)
    products = []
    for own in shared:
        zeros = torch.zeros_like(next(gradient for gradient in own if gradient is not None))
        rows = torch.stack([zeros if gradient is None else gradient for gradient in own]).flatten(1).double()
        products.append(rows @ rows.T)
    return torch.stack(products).sum(dim=0)


def inner(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Inner product of two lists of tensors as of two long vectors, summed in float64."""
    return torch.stack([(x * y).sum(dtype=torch.float64) for x, y in zip(first, second, strict=True)]).sum()

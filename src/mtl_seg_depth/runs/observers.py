"""Who watches a training beside the terminal."""

from mtl_seg_depth.data.batches import ScoringBatches
from mtl_seg_depth.drawing import pictures
from mtl_seg_depth.records.record import Record
from mtl_seg_depth.scoring.metrics import Scores
from mtl_seg_depth.scoring.predictor import Predictor


class Pictures:
    """Observer that draws: a panel of fixed validation pictures every time, the confusion matrix of the best."""

    def __init__(self, record: Record, predictor: Predictor, val: ScoringBatches, count: int) -> None:
        self.record = record
        self.predictor = predictor
        total = len(val.split)
        rows = [round(i * (total - 1) / max(1, count - 1)) for i in range(min(count, total))]
        self.batch = val.rows(rows) if rows else None

    def on_losses(self, step: int, losses: dict[str, float], images_per_second: float) -> None:
        """Nothing to draw."""

    def on_validation(self, step: int, scores: Scores, is_best: bool) -> None:
        """Draw what the network sees now."""
        if self.batch is not None:
            prediction = {task: values.cpu().numpy() for task, values in self.predictor(self.batch.rgb).items()}
            rgb = self.batch.rgb.permute(0, 2, 3, 1).cpu().numpy()
            semseg, depth = self.batch.semseg.cpu().numpy(), self.batch.depth.cpu().numpy()
            rows = [
                pictures.panel_row(rgb[i], semseg[i], depth[i], {task: p[i] for task, p in prediction.items()})
                for i in range(len(rgb))
            ]
            pictures.save(pictures.sheet(rows), self.record.artifact_path(f"panels/step_{step:06}.png"))
        if is_best and scores.confusion is not None:
            pictures.save(pictures.confusion(scores.confusion.numpy()), self.record.artifact_path("confusion.png"))

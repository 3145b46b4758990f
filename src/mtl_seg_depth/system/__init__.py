"""What any program needs: whole files, errors, devices, number formats, interruption."""

"""Which conda environment a rule runs in."""

STEPS = "../../envs/cpu.yaml"
"""Of all steps, also of those with a network where no GPU is to be used; as seen from a rule."""

NETWORKS = "../../envs/gpu.yaml"
"""Of steps that run a network on a GPU."""


def network_environment(device: str) -> str:
    """The environment of steps that run a network, by the setting `device`."""
    return STEPS if device == "cpu" else NETWORKS

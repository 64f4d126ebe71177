"""How hypothesis runs here: the same examples every time, and no clock."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gprune", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("gprune")

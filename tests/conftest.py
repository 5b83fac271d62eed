"""What holds for every test: property tests judge behaviour, not the speed of a shared machine."""

from hypothesis import HealthCheck, settings

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

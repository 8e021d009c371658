"""``pingti doctor``: what there is where Pingti runs, from packages and cores to Valkey and the service.

Every look is quick, changes nothing but a file of its own that it removes, and ends in findings; a look that
fails in a way nobody foresaw is a finding too.
"""

from api.cli.doctor.examination import examine
from api.cli.doctor.findings import Finding, State

__all__ = ["Finding", "State", "examine"]

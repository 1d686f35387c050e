"""From a course framework to its dialect: `check` reads the user's files, `port` changes the import, `verify` compares.

sources reads and edits files, evidence tells the dialect, project follows imports, serving compares signatures,
cautions warns, inspection is `check`, porter and porting are `port`, trials, comparison and verification are `verify`.
"""

from .inspection import Report, check
from .porting import port
from .verification import Verification, verify

__all__ = ["Report", "Verification", "check", "port", "verify"]

"""PowerSchool as a source: `source.PowerSchoolSource`. httpx appears nowhere else on this side."""

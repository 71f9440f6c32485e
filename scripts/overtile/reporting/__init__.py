"""Pictures, plots and the report page."""

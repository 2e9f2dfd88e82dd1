"""An LM Studio that answers with damaged HTTP, damaged event streams and damaged SDK messages, by seed."""

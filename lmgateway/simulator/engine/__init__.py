"""The simulated LM Studio without its APIs: models, memory, generations, pace, ledger and log."""

"""LM Studio's pretended inside: models, memory, generations, their pace, the books and the log."""

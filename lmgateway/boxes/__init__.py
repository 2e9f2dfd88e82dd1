"""The boxes: machines with LM Studio, their connections, models, loads and logs."""

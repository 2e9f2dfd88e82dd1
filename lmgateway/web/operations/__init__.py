"""The table of operations: every route with its handler, the scope it needs, its Structs and its errors."""

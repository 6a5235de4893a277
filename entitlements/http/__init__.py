"""On the routes: pure-ASGI middlewares that identify, gate, limit and meter, and what FastAPI needs of them."""

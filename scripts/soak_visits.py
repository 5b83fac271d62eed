def run(n): return {"answered": n}

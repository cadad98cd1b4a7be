"""How good a model is: runs, files of embeddings and human judgements come in, a report goes out.

`metrics` measures, `systems` are what is compared, `comparison` compares them, and `sections` puts
it into words. It must not change a model, nor know how one is searched.
"""

"""Maps: spaces drawn in two dimensions so that the same items stand in comparable places.

``spaces`` says which vectors there are, ``knn`` finds every point's neighbours in the original space, ``projection``
and ``layout`` make the picture, ``quality`` says how far to trust it and where two spaces disagree, ``make`` writes
and reads the artifact. UMAP runs in the ``llmesr map`` process only, never in the web server.
"""

"""One module or package for each library that is instrumented."""

"""`videoanalysis analyze`: analyse files in this process, with a database in a folder of its own."""

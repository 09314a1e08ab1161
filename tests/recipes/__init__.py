"""Recipes of docs/recipes, as a reader would follow them."""

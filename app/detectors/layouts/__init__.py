"""What detection networks take and give: functions over arrays, whichever session runs the network.

`understanding.understand` returns an `UnderstoodModel`. Its `form` tells how a picture becomes the input
(`preprocessing`), its `layout` how outputs become boxes (`families`).
"""

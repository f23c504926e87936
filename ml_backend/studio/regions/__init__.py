"""Regions: boxes on images, tracks in videos and time ranges, between Label Studio's JSON and our arrays.

`config` reads what a labeling config asks; `boxes`, `tracks` and `timeline` read annotations and write predictions;
`checks` looks at predictions before they are sent. docs/label_configs.md shows every format.
"""

"""DICOM (PS3.10): frames as they are stored, and the attributes that are needed to show them.

Hiding works on the stored samples; localizers see them as a viewer shows them. A result has only the attributes of an
allow-list, and new UIDs.
"""

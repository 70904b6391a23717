"""Search of a catalogue: scores, masks, lists and ranks."""

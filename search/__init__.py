"""How a catalogue is searched: scores, masks, lists and ranks."""

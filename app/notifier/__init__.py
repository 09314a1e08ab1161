"""The role that tells people of events, over the channels of the operator's file."""

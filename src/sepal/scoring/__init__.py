"""From a version's pipeline to a function that answers rows; for the model server and for bulk alike."""

"""What people look at: InferenceData, diagnostics."""

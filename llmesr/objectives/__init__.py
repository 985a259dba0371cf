"""What is minimised: functions of tensors that know no model and no method."""

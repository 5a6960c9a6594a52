package sdk

// PayloadOf makes the payload of a task with these bytes.
func PayloadOf(raw []byte) Payload { return Payload{raw: raw} }

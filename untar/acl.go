package untar

func (x *extractor) textACLs(e *Entry) {}

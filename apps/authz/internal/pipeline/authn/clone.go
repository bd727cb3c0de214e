package authn

// clone copies what JSON decodes to, to the bottom. Sessions get copies of what is kept, because templates have
// functions that change maps (sprig's set and merge) and must not change the next request's session.
func clone(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = cloneValue(value)
	}
	return out
}

func cloneValue(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return clone(value)
	case []any:
		out := make([]any, len(value))
		for i, item := range value {
			out[i] = cloneValue(item)
		}
		return out
	default:
		return value
	}
}

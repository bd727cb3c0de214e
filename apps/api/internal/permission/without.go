package permission

import "slices"

// Without returns the tuples of all that are not among others: what goes when the one becomes the other.
func Without(all, others []Tuple) []Tuple {
	return slices.DeleteFunc(slices.Clone(all), func(t Tuple) bool { return slices.Contains(others, t) })
}

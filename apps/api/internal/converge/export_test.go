package converge

// What the tests of whole processes need to take rights away as operations do.
var (
	Desired    = desired
	Difference = difference
)

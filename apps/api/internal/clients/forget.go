package clients

// Forget makes Hydra forget a client whose row is gone, with every token that it gave to it.
type Forget struct {
	ID string `json:"id"`
}

// Kind implements river.JobArgs.
func (Forget) Kind() string { return "clients.forget" }

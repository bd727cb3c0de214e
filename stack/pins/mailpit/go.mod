module gatehouse.internal/pins/mailpit

go 1.26.0

require github.com/axllent/mailpit v1.31.2

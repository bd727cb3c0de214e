module gatehouse.internal/pins/air

go 1.26.0

require github.com/air-verse/air v1.67.4

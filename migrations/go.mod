module gatehouse.internal/migrations

go 1.26.0

module gatehouse.internal/pins/process-compose

go 1.26.0

require github.com/f1bonacc1/process-compose v1.87.0

module gatehouse.internal/servers/process-compose

go 1.26.0

require github.com/f1bonacc1/process-compose v1.87.0

module lockkeeper.dev/bed/sidecar

go 1.26.0

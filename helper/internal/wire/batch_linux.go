package wire

import "kith.internal/helper/internal/wire/udp"

const batchSize = udp.MaxBatch

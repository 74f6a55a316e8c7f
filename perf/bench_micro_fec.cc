// SPDX-License-Identifier: BSD-3-Clause
// Forward error correction of one packet: what each sent and each received one pays, and what a loss does.
#include <benchmark/benchmark.h>

#include "bench_micro_fec.h"

namespace
{

void Arguments(benchmark::internal::Benchmark *bench)
{
    bench->ArgNames({"k", "p", "bytes"});
    for (int bytes : {1400, 8900})
        for (int sources : {16, 32})
            for (int repairs : {1, 2, 4})
                if (repairs == 2 || sources == 32)
                    bench->Args({sources, repairs, bytes});
}

bench_fec *New(const benchmark::State &state)
{
    return bench_fec_new(static_cast<std::uint32_t>(state.range(0)),
                         static_cast<std::uint32_t>(state.range(1)),
                         static_cast<std::uint32_t>(state.range(2)));
}

// Sources come from 16 MiB in turn: they are not in the first two caches.
void Encode(benchmark::State &state)
{
    bench_fec *fec = New(state);
    for (auto _ : state)
        bench_fec_encode(fec);
    bench_fec_free(fec);
    state.SetBytesProcessed(state.iterations() * state.range(2));
}

// Of p losses in a block, all together.
void Solve(benchmark::State &state)
{
    bench_fec *fec = New(state);
    for (auto _ : state)
        bench_fec_solve(fec, static_cast<std::uint32_t>(state.range(1)));
    bench_fec_free(fec);
}

} // namespace

BENCHMARK(Encode)->Name("fec/encode")->Apply(Arguments);
BENCHMARK(Solve)->Name("fec/solve")->Apply(Arguments);

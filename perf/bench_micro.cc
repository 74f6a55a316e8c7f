// SPDX-License-Identifier: BSD-3-Clause
// What the machine gives for one block or one datagram: copies, hashes, seals, hand-overs. These are limits,
// printed beside results of the same run; none of them is a result.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <xxhash.h>

// The C headers use alignas and _Atomic in ways that C++ does not have; what is needed is declared in
// bench_micro_c.c, which includes them.
#include "bench_micro_c.h"

namespace
{

struct Aligned {
    explicit Aligned(std::size_t size)
        : bytes(static_cast<std::uint8_t *>(std::aligned_alloc(4096, (size + 8191) / 4096 * 4096)))
    {
        std::memset(bytes, 0x5a, size);
    }
    ~Aligned()
    {
        std::free(bytes);
    }
    Aligned(const Aligned &) = delete;
    std::uint8_t *bytes;
};

void Count(benchmark::State &state, std::int64_t size)
{
    state.SetBytesProcessed(state.iterations() * size);
}

// Over 64 MiB, so that it is memory that is copied and not a cache line that is warm.
void Copy(benchmark::State &state)
{
    const std::size_t size = static_cast<std::size_t>(state.range(0)), total = 64u << 20;
    Aligned from(total), to(total);
    std::size_t at = 0;
    for (auto _ : state) {
        std::memcpy(to.bytes + at, from.bytes + at, size);
        benchmark::ClobberMemory();
        at = at + 2 * size <= total ? at + size : 0;
    }
    Count(state, state.range(0));
}

void Hash(benchmark::State &state)
{
    Aligned data(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state)
        benchmark::DoNotOptimize(XXH3_64bits(data.bytes, static_cast<std::size_t>(state.range(0))));
    Count(state, state.range(0));
}

void Seal(benchmark::State &state, int which)
{
    Aligned data(static_cast<std::size_t>(state.range(0)));
    bench_aead *aead = bench_aead_new(which);
    state.SetLabel(bench_aead_name(aead));
    for (auto _ : state)
        bench_aead_seal(aead, data.bytes, static_cast<std::size_t>(state.range(0)));
    bench_aead_free(aead);
    Count(state, state.range(0));
}

// Out of place, so that every iteration opens the same sealed bytes.
void Open(benchmark::State &state, int which)
{
    const std::size_t size = static_cast<std::size_t>(state.range(0));
    Aligned data(size), plain(size);
    bench_aead *aead = bench_aead_new(which);
    state.SetLabel(bench_aead_name(aead));
    bench_aead_seal(aead, data.bytes, size);
    for (auto _ : state) {
        if (!bench_aead_open(aead, plain.bytes, data.bytes, size))
            state.SkipWithError("the tag does not match");
    }
    bench_aead_free(aead);
    Count(state, state.range(0));
}

void RingPushPop(benchmark::State &state)
{
    bench_ring *ring = bench_ring_new();
    for (auto _ : state)
        bench_ring_push_pop(ring);
    bench_ring_free(ring);
}

// The transport's own work for a message of 128 KiB, both ends, no seal.
void Session(benchmark::State &state)
{
    bench_session *bench = bench_session_new(static_cast<std::size_t>(state.range(0)));
    std::uint64_t datagrams = 0;
    for (auto _ : state)
        datagrams += bench_session_message(bench);
    bench_session_free(bench);
    state.counters["time_per_datagram"] = benchmark::Counter(
        static_cast<double>(datagrams), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    Count(state, 131072);
}

void Rate(benchmark::State &state, std::uint64_t packets)
{
    state.counters["time_per_packet"] = benchmark::Counter(
        static_cast<double>(packets), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// What the receiver keeps of 64 packets until their ACK is made; each so many-th is lost, 0: none.
void AckRanges(benchmark::State &state)
{
    bench_acks *acks = bench_acks_new();
    for (auto _ : state)
        bench_acks_receive(acks, static_cast<std::uint32_t>(state.range(0)));
    bench_acks_free(acks);
    Rate(state, static_cast<std::uint64_t>(state.iterations()) * 64);
}

// What the sender does when the packets of 128 KiB are acknowledged: in flight, round trip, message; no seal.
void AckTaken(benchmark::State &state)
{
    bench_session *bench = bench_session_new(static_cast<std::size_t>(state.range(0)));
    std::uint64_t packets = 0, more = 0;
    for (auto _ : state) {
        state.SetIterationTime(static_cast<double>(bench_session_acks(bench, &more)) * 1e-9);
        packets += more;
    }
    bench_session_free(bench);
    Rate(state, packets);
}

} // namespace

BENCHMARK(Copy)->Name("memcpy")->Arg(4096)->Arg(131072);
BENCHMARK(Hash)->Name("xxh3")->Arg(4096)->Arg(131072);
BENCHMARK_CAPTURE(Seal, ipsecmb, 0)->Name("aes_gcm_seal/ipsec-mb")->Arg(1408)->Arg(8900);
BENCHMARK_CAPTURE(Open, ipsecmb, 0)->Name("aes_gcm_open/ipsec-mb")->Arg(1408)->Arg(8900);
BENCHMARK_CAPTURE(Seal, openssl, 1)->Name("aes_gcm_seal/openssl")->Arg(1408)->Arg(8900);
BENCHMARK_CAPTURE(Open, openssl, 1)->Name("aes_gcm_open/openssl")->Arg(1408)->Arg(8900);
BENCHMARK(RingPushPop)->Name("spsc_ring/push_pop_64B");
BENCHMARK(Session)->Name("session/128k/no_seal")->Arg(1472)->Arg(8972);
BENCHMARK(AckRanges)->Name("ack/ranges")->ArgName("lost_each")->Arg(0)->Arg(50);
BENCHMARK(AckTaken)->Name("ack/taken/128k")->Arg(1472)->Arg(8972)->UseManualTime();
BENCHMARK_MAIN();

/* SPDX-License-Identifier: BSD-3-Clause */
/* The text of a spec: what each setting means, and that every mistake is answered with what was expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "wanem/spec.h"

static struct cw_wan_spec read_good(const char *text)
{
    struct cw_wan_spec spec;
    char why[512] = "";
    if (!cw_wan_spec_read(text, &spec, why, sizeof why))
        fail_msg("\"%s\": %s", text, why);
    return spec;
}

static void means_what_it_says(void **state)
{
    struct cw_wan_spec spec =
        read_good("rate=1gbit,delay=80ms,jitter=1ms,loss=1%,ge=0.1%:50:80%,reorder=0.5%:2ms,duplicate=0.1%,"
                  "corrupt=2%,queue=5MB,mark=200kB,blackhole=2s/5s,mtu=1500:1400@10s:9000@15.5s,seed=7");
    assert_int_equal(spec.rate_bits, 1000000000);
    assert_int_equal(spec.delay_ns, 80 * CW_MS);
    assert_int_equal(spec.jitter_ns, CW_MS);
    assert_int_equal(spec.loss, CW_WAN_CERTAIN / 100);
    assert_int_equal(spec.burst_loss, CW_WAN_CERTAIN / 1000);
    assert_int_equal(spec.burst_packets, 50);
    assert_int_equal(spec.burst_density, CW_WAN_CERTAIN / 5 * 4);
    assert_int_equal(spec.reorder, CW_WAN_CERTAIN / 200);
    assert_int_equal(spec.reorder_ns, 2 * CW_MS);
    assert_int_equal(spec.duplicate, CW_WAN_CERTAIN / 1000);
    assert_int_equal(spec.corrupt, CW_WAN_CERTAIN / 50);
    assert_int_equal(spec.queue_bytes, 5000000);
    assert_int_equal(spec.queue_packets, 0);
    assert_int_equal(spec.mark_bytes, 200000);
    assert_int_equal(spec.mark, 0);
    assert_int_equal(spec.dark_ns, 2 * CW_SECOND);
    assert_int_equal(spec.period_ns, 5 * CW_SECOND);
    assert_int_equal(spec.mtu_steps, 3);
    assert_int_equal(spec.mtu[0].bytes, 1500);
    assert_int_equal(spec.mtu[1].from_ns, 10 * CW_SECOND);
    assert_int_equal(spec.mtu[2].from_ns, 15500 * CW_MS);
    assert_int_equal(spec.mtu[2].bytes, 9000);
    assert_int_equal(spec.seed, 7);
}

static void knows_units_and_defaults(void **state)
{
    struct cw_wan_spec none = {0}, spec = read_good("");
    assert_memory_equal(&spec, &none, sizeof spec);
    assert_int_equal(read_good("rtt=81ms").delay_ns, 40500 * CW_US);
    assert_int_equal(read_good("rtt=1ns").delay_ns, 1);
    assert_int_equal(read_good("delay=0").delay_ns, 0);
    assert_int_equal(read_good("delay=1.5us").delay_ns, 1500);
    assert_int_equal(read_good("delay=3600s").delay_ns, 3600 * CW_SECOND);
    assert_int_equal(read_good("rate=0").rate_bits, 0);
    assert_int_equal(read_good("rate=2.5MBit").rate_bits, 2500000);
    assert_int_equal(read_good("loss=100%").loss, CW_WAN_CERTAIN);
    assert_int_equal(read_good("loss=0").loss, 0);
    assert_int_equal(read_good("ge=1%:3").burst_density, CW_WAN_CERTAIN);
    assert_int_equal(read_good("rate=1mbit,queue=512KiB").queue_bytes, 512 * 1024);
    assert_int_equal(read_good("queue=100p,rate=1mbit").queue_packets, 100);
    assert_int_equal(read_good("queue=100p,rate=1mbit").queue_bytes, 0);
    assert_int_equal(read_good("rate=1mbit").queue_bytes, 65536);
    assert_int_equal(read_good("rate=1gbit,delay=40ms").queue_bytes, 10000000);
    assert_int_equal(read_good("rate=1000gbit,delay=3600s").queue_bytes, CW_WAN_QUEUE_BYTES_MAX);
    assert_int_equal(read_good("seed=18446744073709551").seed, 18446744073709551ull);
    assert_int_equal(read_good("mark=0.5%").mark, CW_WAN_CERTAIN / 200);
    assert_int_equal(read_good("mark=0.5%").mark_bytes, 0);
    assert_int_equal(read_good("blackhole=5s/5s").dark_ns, 5 * CW_SECOND);
}

/* Text, and what the answer must say. */
static const struct {
    const char *text, *says;
} mistakes[] = {
    {"delya=1ms", "delya: no such setting; expected rate, delay or rtt"},
    {"delay", "\"delay\": expected NAME=VALUE"},
    {"=1ms", ": no such setting"},
    {",", "\"\": expected NAME=VALUE"},
    {"delay=1ms,", "a comma at the end"},
    {"delay=1ms,,loss=1%", "\"\": expected NAME=VALUE"},
    {"delay=", "a time one way such as 80ms"},
    {"delay=80", "a time one way such as 80ms"},
    {"delay=-1ms", "a time one way such as 80ms"},
    {"delay=1.2.3ms", "a time one way"},
    {"delay=.ms", "a time one way"},
    {"delay=0x10ms", "a time one way"},
    {"delay=nan", "a time one way"},
    {"delay=80ms ", "a time one way"},
    {"delay=3601s", "at most 3600s"},
    {"delay=1ms,delay=2ms", "delay: given twice"},
    {"delay=1ms,rtt=2ms", "only one of them"},
    {"rtt=fast", "a time there and back"},
    {"jitter=1%", "a time such as 1ms"},
    {"rate=1", "bits a second"},
    {"rate=1GB", "bits a second"},
    {"rate=999bit", "1kbit to 1000gbit"},
    {"rate=1001gbit", "1kbit to 1000gbit"},
    {"loss=1", "a share such as 1%"},
    {"loss=0.01", "a share such as 1%"},
    {"loss=101%", "0 to 100 %"},
    {"ge=1%", "AVERAGE:PACKETS"},
    {"ge=1%:0", "1 to 1000000 packets"},
    {"ge=1%:2.5", "1 to 1000000 packets"},
    {"ge=1%:5:", "AVERAGE:PACKETS:DENSITY"},
    {"ge=1%:5:1%", "an average below the density"},
    {"ge=100%:5", "an average below the density"},
    {"ge=60%:1", "bad times so long can reach"},
    {"reorder=1%", "SHARE:TIME"},
    {"reorder=1%:0", "SHARE:TIME"},
    {"duplicate=x", "a share such as 0.1%"},
    {"corrupt=2", "a share such as 2%"},
    {"queue=5MB", "queue: expected with a rate only"},
    {"rate=1gbit,queue=0", "a size such as 5MB"},
    {"rate=1gbit,queue=0p", "or packets such as 1000p"},
    {"rate=1gbit,queue=1000001p", "at most 1000000p"},
    {"rate=1gbit,queue=1001MB", "at most 1000MB"},
    {"rate=1gbit,queue=5", "a size such as 5MB"},
    {"mark=5", "a share such as 1%, or a size such as 200kB"},
    {"mark=101%", "a share such as 1%"},
    {"rate=1gbit,mark=0", "or a size such as 200kB"},
    {"rate=1gbit,mark=1001MB", "at most 1000MB"},
    {"mark=5MB", "without a rate nothing waits"},
    {"blackhole=2s", "DARK/PERIOD"},
    {"blackhole=6s/5s", "dark at most the period"},
    {"blackhole=0/5s", "DARK/PERIOD"},
    {"mtu=67", "68 to 65535"},
    {"mtu=65536", "68 to 65535"},
    {"mtu=1500@1s", "68 to 65535"},
    {"mtu=1500:1400", ":BYTES@TIME"},
    {"mtu=1500:1400@2s:1300@1s", "rising times"},
    {"mtu=1500:1400@0", "rising times"},
    {"mtu=1500:1@1s", "68 to 65535"},
    {"mtu=99:99@1s:99@2s:99@3s:99@4s:99@5s:99@6s:99@7s:99@8s", "up to seven changes"},
    {"seed=-1", "a whole number"},
    {"seed=", "a whole number"},
    {"seed=12345678901234567890", "at most 19 digits"},
};

static void tells_every_mistake(void **state)
{
    for (size_t i = 0; i < CW_COUNT_OF(mistakes); i++) {
        struct cw_wan_spec spec;
        char why[512] = "";
        if (cw_wan_spec_read(mistakes[i].text, &spec, why, sizeof why))
            fail_msg("\"%s\" was taken", mistakes[i].text);
        if (strstr(why, mistakes[i].says) == NULL)
            fail_msg("\"%s\" was answered: %s", mistakes[i].text, why);
    }
}

static void tells_all_at_once(void **state)
{
    struct cw_wan_spec spec;
    char why[512] = "", little[9] = "";
    const char *text = "delay=x,loss=5,seed=7,nonsense=1";
    assert_false(cw_wan_spec_read(text, &spec, why, sizeof why));
    assert_non_null(strstr(why, "delay=x: expected a time"));
    assert_non_null(strstr(why, "; loss=5: expected a share"));
    assert_non_null(strstr(why, "; nonsense: no such setting"));
    assert_false(cw_wan_spec_read(text, &spec, little, sizeof little));
    assert_string_equal(little, "delay=x:");
    assert_false(cw_wan_spec_read(text, &spec, NULL, 0));
    char entry[300];
    memset(entry, '9', sizeof entry - 1);
    entry[sizeof entry - 1] = 0;
    assert_false(cw_wan_spec_read(entry, &spec, why, sizeof why));
    assert_non_null(strstr(why, "too long"));
}

/* Good text, torn and mixed: whatever it is, it is taken or answered. */
static void survives_nonsense(void **state)
{
    static const char good[] = "rate=1gbit,delay=80ms,loss=1%,ge=0.1%:50:80%,reorder=0.5%:2ms,queue=5MB,"
                               "blackhole=2s/5s,mtu=1500:1400@10s,seed=7";
    struct cw_rng rng = {11};
    unsigned taken = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct cw_wan_spec spec;
        char text[sizeof good], why[64] = "";
        memcpy(text, good, sizeof good);
        for (uint64_t changes = cw_rng_below(&rng, 4); changes > 0; changes--)
            text[cw_rng_below(&rng, sizeof good - 1)] = (char)cw_rng_below(&rng, 256);
        text[cw_rng_below(&rng, sizeof good)] = 0;
        if (cw_wan_spec_read(text, &spec, why, sizeof why))
            taken++;
        else
            assert_true(why[0] != 0);
    }
    assert_in_range(taken, 200, 19000);
}

static void sizes_memory(void **state)
{
    struct cw_wan_spec spec = read_good("rate=1gbit,delay=80ms,queue=5MB");
    assert_int_equal(cw_wan_spec_bytes_held(&spec, 0, 1514), 10000000 + 5000000);
    spec = read_good("rate=1gbit,delay=80ms,jitter=10ms,reorder=1%:10ms,queue=100p,duplicate=100%");
    assert_int_equal(cw_wan_spec_bytes_held(&spec, 0, 1500), 2 * (12500000 + 150000));
    spec = read_good("delay=8ms");
    assert_int_equal(cw_wan_spec_bytes_held(&spec, 1000000000, 1500), 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_what_it_says),  cmocka_unit_test(knows_units_and_defaults),
        cmocka_unit_test(tells_every_mistake), cmocka_unit_test(tells_all_at_once),
        cmocka_unit_test(survives_nonsense),   cmocka_unit_test(sizes_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

-- SPDX-License-Identifier: BSD-3-Clause
--[[
A dissector for Wireshark and tshark (3.6 and later): the part of our datagrams that is clear, which is all of a
handshake and the headers of everything else.

    tshark -X lua_script:dataplane/wire/causeway.lua -r FILE -Y causeway
    wireshark: copy it into the folder that Help > About > Folders calls Personal Lua Plugins

A datagram is taken for ours by its UDP port (preference causeway.ports) when it begins with our PSP header, and
on any port when everything holds that cw_packet_check asks (packet.h): 32 bits of constants, version, type, flags,
what belongs to the type, and a length that is the datagram's. So a foreign datagram is left to others. One that
came by the port and breaks a later rule is shown as far as it goes, with the rule that it breaks.

A capture that causeway-open (../io/open_capture.c) made has payloads in clear, which it says by what stands where
the tag was: then the frames are shown, and the head of a message that begins in one.

Captures may be cut (tshark -s 96): lengths are those that were on the wire, and what was not captured is not read.
The bytes are drawn in PROTOCOL.md here and in ../transport.
]]

local HEADER_BYTES, TAG_BYTES = 40, 16
local OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
local HANDSHAKE_BYTES = 256
local FIRST_BYTES = 0xfe010605 -- next header 254, length 1, crypt offset 6, AES-GCM-256

local DATA, CONTROL, HANDSHAKE, REPAIR = 1, 2, 3, 4
local TYPES = { "DATA", "CONTROL", "HANDSHAKE", "REPAIR" }
local STREAMS = { [0] = "control", "live", "resync" }
local CARRY = 5
local KINDS = { "HELLO", "COOKIE", "ANSWER", "CONFIRM", "CARRY" }
local PSP_VERSIONS = { [0] = "AES-GCM-128", "AES-GCM-256", "AES-GMAC-128", "AES-GMAC-256" }

local OPENED_TAG = ByteArray.new("causeway: opened", true)
local ACK, CREDIT, PING, CLOSE, DATA_FRAME, RECOVERED, PROBE, CHALLENGE, RESPONSE = 1, 2, 3, 4, 5, 6, 7, 8, 9
local FRAMES = { "ACK", "CREDIT", "PING", "CLOSE", "DATA", "RECOVERED", "PROBE", "CHALLENGE", "RESPONSE" }
local REASONS = { "idle", "closed by peer", "peer restarted", "keys worn", "local", "untrusted" }
local MESSAGES = { "HELLO", "ATTACH", "ATTACHED", "RECORD", "COMMIT", "ACK", "FETCH", "COPY_BEGIN", "COPY_CHUNK",
    "COPY_END", "COPY_ACK", "GRANT_ASK", "GRANT", "GRANT_RELEASE" }

local causeway = Proto("causeway", "Causeway datagram")
causeway.prefs.ports = Pref.range("UDP ports", "7400", "Ports on which our datagrams are looked for first", 65535)
causeway.prefs.heuristic = Pref.bool("On other ports too", true, "Take datagrams of any port that can only be ours")

local f = {
    next_header = ProtoField.uint8("causeway.psp.next_header", "Next header"),
    extension = ProtoField.uint8("causeway.psp.extension", "Extension length"),
    crypt_offset = ProtoField.uint8("causeway.psp.crypt_offset", "Crypt offset (words)", base.DEC, nil, 0x3f),
    sample = ProtoField.bool("causeway.psp.sample", "S", 8, nil, 0x80),
    drop = ProtoField.bool("causeway.psp.drop", "D", 8, nil, 0x40),
    psp_version = ProtoField.uint8("causeway.psp.version", "PSP version", base.DEC, PSP_VERSIONS, 0x3c),
    virtual = ProtoField.bool("causeway.psp.virtual", "V", 8, nil, 0x02),
    spi = ProtoField.uint32("causeway.spi", "SPI", base.HEX),
    iv = ProtoField.uint64("causeway.packet", "Packet number (IV)"),
    version = ProtoField.uint8("causeway.version", "Version", base.DEC, nil, 0xf0),
    type = ProtoField.uint8("causeway.type", "Type", base.DEC, TYPES, 0x0f),
    ack_wanted = ProtoField.bool("causeway.ack_wanted", "Ack wanted", 8, nil, 0x01),
    retransmission = ProtoField.bool("causeway.retransmission", "Retransmission", 8, nil, 0x02),
    lane = ProtoField.uint8("causeway.lane", "Lane", base.DEC, nil, 0x0c),
    session = ProtoField.uint16("causeway.session", "Session", base.HEX),
    ticks = ProtoField.uint32("causeway.ticks", "Sender's time (ticks of 128 ns)"),
    length = ProtoField.uint16("causeway.length", "Payload length"),
    stream = ProtoField.uint8("causeway.stream", "Stream", base.DEC, STREAMS),
    kind = ProtoField.uint8("causeway.kind", "Handshake message", base.DEC, KINDS),
    sources = ProtoField.uint8("causeway.fec.sources", "FEC sources of the block"),
    zero = ProtoField.uint8("causeway.zero", "Zero"),
    repairs = ProtoField.uint8("causeway.fec.repairs", "FEC repairs of the block, at most"),
    block = ProtoField.uint24("causeway.fec.block", "FEC block"),
    index = ProtoField.uint8("causeway.fec.index", "FEC index"),
    block_path = ProtoField.uint64("causeway.fec.path", "FEC path (whose block it is)"),
    position = ProtoField.uint64("causeway.position", "Position (message number)"),
    sealed = ProtoField.bytes("causeway.sealed", "Sealed payload"),
    tag = ProtoField.bytes("causeway.tag", "Tag"),
    hello_random = ProtoField.bytes("causeway.hello.random", "Random of the HELLO"),
    answer_random = ProtoField.bytes("causeway.answer.random", "Random of the ANSWER"),
    share = ProtoField.bytes("causeway.share", "X25519 share"),
    cookie = ProtoField.bytes("causeway.cookie", "Cookie"),
    offer_paths = ProtoField.uint8("causeway.offer.paths", "Paths"),
    offer_lane = ProtoField.uint8("causeway.offer.lane", "Lane"),
    offer_lane_last = ProtoField.uint8("causeway.offer.lane_last", "The last lane"),
    offer_name = ProtoField.uint64("causeway.offer.name", "Hash of the path's name", base.HEX),
    offer_spi = ProtoField.uint32("causeway.offer.spi", "SPI to be sent to", base.HEX),
    offer_bytes = ProtoField.uint16("causeway.offer.datagram_bytes", "Datagram bytes, at most"),
    offer_blocks = ProtoField.uint16("causeway.offer.fec_blocks", "FEC blocks held", base.DEC, nil, 0x0fff),
    offer_repairs = ProtoField.uint16("causeway.offer.fec_repairs", "FEC repairs of each", base.DEC, nil, 0xf000),
    offer_window = ProtoField.uint32("causeway.offer.window", "Message window"),
    confirm = ProtoField.bytes("causeway.confirm", "Confirm"),
    carry_received = ProtoField.uint32("causeway.carry.received", "Received without a hole"),
    carry_offset = ProtoField.uint32("causeway.carry.offset", "Offset"),
    carry_bytes = ProtoField.bytes("causeway.carry.bytes", "Bytes (TLS)"),
    mac = ProtoField.bytes("causeway.mac", "MAC"),
    frame = ProtoField.uint8("causeway.frame", "Frame", base.DEC, FRAMES),
    of_path = ProtoField.uint8("causeway.path", "Of path", base.DEC, nil, 0xc0),
    ack_ranges = ProtoField.uint8("causeway.ack.ranges", "Ranges", base.DEC, nil, 0x3f),
    ack_marked = ProtoField.uint16("causeway.ack.marked", "Arrived with a CE mark, modulo 2^16"),
    ack_delay = ProtoField.uint32("causeway.ack.delay", "Delay (ns)"),
    ack_largest = ProtoField.uint64("causeway.ack.largest", "Largest"),
    ack_range = ProtoField.string("causeway.ack.range", "Range"),
    credit = ProtoField.uint64("causeway.credit", "Granted"),
    why = ProtoField.uint8("causeway.close.why", "Why", base.DEC, REASONS),
    recovered = ProtoField.uint64("causeway.recovered", "Given back by repairs"),
    early = ProtoField.uint16("causeway.recovered.early", "May still come themselves (bits, by place)", base.HEX),
    has_group = ProtoField.bool("causeway.data.has_group", "Group and epoch", 8, nil, 0x01),
    head_length = ProtoField.uint16("causeway.data.head_length", "Head length"),
    body_length = ProtoField.uint32("causeway.data.body_length", "Body length"),
    offset = ProtoField.uint32("causeway.data.offset", "Offset of the fragment"),
    group = ProtoField.uint32("causeway.data.group", "Group"),
    epoch = ProtoField.uint64("causeway.data.epoch", "Epoch"),
    fragment = ProtoField.bytes("causeway.data.fragment", "Fragment"),
    message = ProtoField.uint8("causeway.message", "Message", base.DEC, MESSAGES),
    message_version = ProtoField.uint8("causeway.message.version", "Version"),
    from_site = ProtoField.uint8("causeway.message.from_site", "From site"),
    message_flags = ProtoField.uint8("causeway.message.flags", "Flags", base.HEX),
    reign = ProtoField.uint64("causeway.message.reign", "Reign", base.HEX),
    serial = ProtoField.uint64("causeway.message.serial", "Serial"),
    symbol = ProtoField.bytes("causeway.fec.symbol", "Sum of symbols"),
}
local fields = {}
for _, field in pairs(f) do
    fields[#fields + 1] = field
end
causeway.fields = fields

local malformed = ProtoExpert.new("causeway.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
local cut = ProtoExpert.new("causeway.cut", "Not captured in full", expert.group.UNDECODED, expert.severity.NOTE)
local again = ProtoExpert.new("causeway.again", "Retransmission", expert.group.SEQUENCE, expert.severity.NOTE)
causeway.experts = { malformed, cut, again }

local function is_zero(tvb, at, length)
    for i = at, at + length - 1 do
        if tvb(i, 1):uint() ~= 0 then
            return false
        end
    end
    return true
end

-- Which rule of cw_packet_check a datagram breaks; nil: none. At least HEADER_BYTES are there.
local function broken_rule(tvb)
    local version_type, repairs = tvb(16, 1):uint(), tvb(27, 1):uint()
    local kind = version_type % 16
    if tvb(0, 4):uint() ~= FIRST_BYTES then
        return "not our PSP header"
    elseif math.floor(version_type / 16) ~= 3 then
        return "unknown version"
    elseif kind < DATA or kind > REPAIR then
        return "unknown type"
    elseif tvb(17, 1):uint() > 15 then
        return "unknown flags"
    elseif repairs == 0 and (tvb(28, 4):uint() ~= 0 or kind == REPAIR) then
        return "a place in a block, without a block"
    elseif repairs ~= 0 and kind ~= DATA and kind ~= REPAIR then
        return "of a block, but neither data nor a repair"
    elseif (tvb(4, 4):uint() == 0) ~= (kind == HANDSHAKE) then
        return "SPI and type do not belong together"
    elseif tvb(24, 2):le_uint() + OVERHEAD_BYTES ~= tvb:reported_len() then
        return "its length is not the datagram's"
    elseif kind == REPAIR and (tvb(32, 1):uint() > 3 or not is_zero(tvb, 33, 7)) then
        return "of a path that there is not"
    elseif kind ~= DATA and kind ~= REPAIR and not is_zero(tvb, 32, 8) or kind == CONTROL and not is_zero(tvb, 26, 1) or
        kind == HANDSHAKE and not is_zero(tvb, 8, 8) then
        return "what is to be zero is not"
    end
end

-- What of `length` bytes at `at` was captured; nil: nothing.
local function captured(tvb, at, length)
    local there = math.min(length, tvb:captured_len() - at)
    if there > 0 then
        return tvb(at, there)
    end
end

-- One handshake field; false when it was not captured in full.
local function add(tree, tvb, field, at, length)
    if at + length > tvb:captured_len() then
        return false
    end
    tree:add_le(field, tvb(at, length))
    return true
end

local function add_psp(tree, tvb)
    local psp = tree:add(tvb(0, 16), "PSP header")
    psp:add(f.next_header, tvb(0, 1))
    psp:add(f.extension, tvb(1, 1))
    psp:add(f.crypt_offset, tvb(2, 1))
    psp:add(f.sample, tvb(3, 1))
    psp:add(f.drop, tvb(3, 1))
    psp:add(f.psp_version, tvb(3, 1))
    psp:add(f.virtual, tvb(3, 1))
    psp:add(f.spi, tvb(4, 4))
    psp:add(f.iv, tvb(8, 8))
end

local function add_clear(tree, tvb, kind)
    local of_byte_26 = { [DATA] = f.stream, [CONTROL] = f.zero, [HANDSHAKE] = f.kind, [REPAIR] = f.sources }
    tree:add(f.version, tvb(16, 1))
    tree:add(f.type, tvb(16, 1))
    tree:add(f.ack_wanted, tvb(17, 1))
    local retransmission = tree:add(f.retransmission, tvb(17, 1))
    if tvb(17, 1):bitfield(6, 1) == 1 then
        retransmission:add_proto_expert_info(again)
    end
    tree:add(f.lane, tvb(17, 1))
    tree:add_le(f.session, tvb(18, 2))
    local ticks = tree:add_le(f.ticks, tvb(20, 4))
    ticks:append_text(string.format(" = %.3f ms", tvb(20, 4):le_uint() * 128 / 1e6))
    tree:add_le(f.length, tvb(24, 2))
    tree:add(of_byte_26[kind] or f.zero, tvb(26, 1))
    tree:add(f.repairs, tvb(27, 1))
    tree:add_le(f.block, tvb(28, 3))
    tree:add(f.index, tvb(31, 1))
    tree:add_le(kind == REPAIR and f.block_path or f.position, tvb(32, 8))
end

local function add_offer(tree, tvb, random, share, at)
    add(tree, tvb, random, share - 32, 32)
    add(tree, tvb, f.share, share, 32)
    add(tree, tvb, f.offer_window, at, 4)
    if not add(tree, tvb, f.offer_paths, at + 4, 1) then
        return
    end
    add(tree, tvb, f.offer_lane, at + 5, 1)
    add(tree, tvb, f.offer_lane_last, at + 6, 1)
    for path = 0, math.min(tvb(at + 4, 1):uint(), 4) - 1 do
        local of_path = at + 8 + 16 * path
        add(tree, tvb, f.offer_name, of_path, 8)
        add(tree, tvb, f.offer_spi, of_path + 8, 4)
        add(tree, tvb, f.offer_bytes, of_path + 12, 2)
        add(tree, tvb, f.offer_blocks, of_path + 14, 2)
        add(tree, tvb, f.offer_repairs, of_path + 14, 2)
    end
end

local function add_two_randoms(tree, tvb)
    add(tree, tvb, f.hello_random, 40, 32)
    add(tree, tvb, f.answer_random, 72, 32)
end

local handshake_body = {
    function(tree, tvb) -- HELLO
        add_offer(tree, tvb, f.hello_random, 72, 136)
        add(tree, tvb, f.cookie, 104, 32)
    end,
    function(tree, tvb) -- COOKIE
        add(tree, tvb, f.hello_random, 40, 32)
        add(tree, tvb, f.cookie, 72, 32)
    end,
    function(tree, tvb) -- ANSWER
        add(tree, tvb, f.hello_random, 40, 32)
        add_offer(tree, tvb, f.answer_random, 104, 136)
        add(tree, tvb, f.confirm, 208, 32)
    end,
    function(tree, tvb) -- CONFIRM
        add_two_randoms(tree, tvb)
        add(tree, tvb, f.confirm, 104, 32)
    end,
    function(tree, tvb) -- CARRY
        add_two_randoms(tree, tvb)
        add(tree, tvb, f.carry_received, 104, 4)
        add(tree, tvb, f.carry_offset, 108, 4)
        local bytes = captured(tvb, 112, tvb:reported_len() - 112 - TAG_BYTES)
        if bytes then
            tree:add(f.carry_bytes, bytes)
        end
    end,
}

local function add_handshake(tree, tvb)
    local kind, length = tvb(26, 1):uint(), tvb:reported_len()
    local name = KINDS[kind]
    local is_sound = name and (kind == CARRY and length >= 112 + TAG_BYTES or kind ~= CARRY and length == HANDSHAKE_BYTES)
    if not is_sound then
        tree:add_proto_expert_info(malformed, name and "No " .. name .. " has this length" or "Unknown handshake message")
        return name or "handshake"
    end
    handshake_body[kind](tree, tvb)
    add(tree, tvb, f.mac, length - TAG_BYTES, TAG_BYTES)
    return name
end

-- The readers of frames: each gets a range that begins with its frame and goes to the end of the payload, and gives
-- back how many bytes the frame has and a word for the summary; nil: the frame is malformed.
local read_frame = {}

read_frame[ACK] = function(tree, range)
    local count = range(1, 1):uint() % 64
    if count < 1 or count > 32 or range:len() < 16 + 8 * count then
        return nil
    end
    tree:add(f.of_path, range(1, 1))
    tree:add(f.ack_ranges, range(1, 1))
    tree:add_le(f.ack_marked, range(2, 2))
    tree:add_le(f.ack_delay, range(4, 4))
    tree:add_le(f.ack_largest, range(8, 8))
    local last = range(8, 8):le_uint64()
    for i = 0, count - 1 do
        local at = range(16 + 8 * i, 8)
        last = last - at(0, 4):le_uint()
        local first = last - at(4, 4):le_uint() + 1
        tree:add(f.ack_range, at, tostring(first) .. ".." .. tostring(last))
        last = first - 1
    end
    return 16 + 8 * count, "to " .. tostring(range(8, 8):le_uint64())
end

read_frame[CREDIT] = function(tree, range)
    if range:len() < 32 then
        return nil
    end
    for i, bytes in ipairs({ 4096, 32768, 131072 }) do
        tree:add_le(f.credit, range(8 * i, 8)):append_text(" messages up to " .. bytes .. " bytes")
    end
    return 32
end

read_frame[PING] = function()
    return 8
end

read_frame[CHALLENGE] = function()
    return 8
end
read_frame[RESPONSE] = read_frame[CHALLENGE]

read_frame[PROBE] = function(_, range)
    return range:len(), range:len() .. " bytes"
end

read_frame[CLOSE] = function(tree, range)
    tree:add(f.why, range(1, 1))
    return 8, REASONS[range(1, 1):uint()]
end

read_frame[RECOVERED] = function(tree, range)
    local count = range(1, 1):uint() % 64
    if count < 1 or count > 16 or range:len() < 16 + 4 * count then
        return nil
    end
    tree:add(f.of_path, range(1, 1))
    tree:add_le(f.early, range(2, 2))
    for i = 0, count - 1 do
        local at = range(16 + 4 * i, 4)
        tree:add(f.recovered, at, range(8, 8):le_uint64() - at:le_uint())
    end
    return 16 + 4 * count, count .. " numbers"
end

-- The common head of wire/message.h. Only a fragment that begins a message has one.
local function add_message_head(tree, range)
    if range:len() < 32 then
        return
    end
    tree:add(f.message, range(0, 1))
    tree:add(f.message_version, range(1, 1))
    tree:add(f.from_site, range(2, 1))
    tree:add(f.message_flags, range(3, 1))
    tree:add_le(f.reign, range(16, 8))
    tree:add_le(f.serial, range(24, 8))
    return MESSAGES[range(0, 1):uint()]
end

read_frame[DATA_FRAME] = function(tree, range)
    if range:len() <= 24 then
        return nil
    end
    tree:add(f.has_group, range(1, 1))
    tree:add_le(f.head_length, range(2, 2))
    tree:add_le(f.body_length, range(4, 4))
    tree:add_le(f.offset, range(8, 4))
    tree:add_le(f.group, range(12, 4))
    tree:add_le(f.epoch, range(16, 8))
    local name
    if range(8, 4):le_uint() == 0 and range(2, 2):le_uint() >= 32 then
        name = add_message_head(tree, range(24))
    end
    tree:add(f.fragment, range(24))
    return range:len(), name or "of a message"
end

-- Adds the frames of an opened payload; their names, for the summary.
local function add_frames(tree, payload)
    local at, names = 0, {}
    while at < payload:len() do
        local rest = payload(at)
        local kind = rest(0, 1):uint()
        local read = read_frame[kind]
        local frame = tree:add(f.frame, rest(0, 1))
        local length, word
        if read and rest:len() >= 8 then
            length, word = read(frame, rest)
        end
        if not length then
            frame:add_proto_expert_info(malformed, "Not a frame")
            names[#names + 1] = "malformed"
            break
        end
        frame:set_len(length)
        names[#names + 1] = FRAMES[kind] .. (word and " " .. word or "")
        at = at + length
    end
    return table.concat(names, " + ")
end

-- The payload, sealed or opened, and the tag; what the payload holds, in words, if it is open.
local function add_payload(tree, tvb, kind)
    local length, frames = tvb:reported_len(), nil
    local payload = captured(tvb, HEADER_BYTES, length - OVERHEAD_BYTES)
    local is_whole = tvb:captured_len() == length
    local is_open = is_whole and tvb(length - TAG_BYTES, TAG_BYTES):bytes() == OPENED_TAG
    if payload and is_open then
        if kind == REPAIR then
            tree:add(f.symbol, payload)
        else
            frames = add_frames(tree, payload)
        end
    elseif payload then
        tree:add(f.sealed, payload)
    end
    if not is_open then
        add(tree, tvb, f.tag, length - TAG_BYTES, TAG_BYTES)
    end
    return frames
end

-- One line about a sealed datagram.
local function summary(tvb, kind)
    local words = { TYPES[kind] or "unknown" }
    local stream, repairs = tvb(26, 1):uint(), tvb(27, 1):uint()
    if kind == DATA then
        words[#words + 1] = string.format("%s %s", STREAMS[stream] or stream, tostring(tvb(32, 8):le_uint64()))
    end
    if repairs > 0 then
        local of_path = kind == REPAIR and string.format(" of path %d", tvb(32, 1):uint()) or ""
        words[#words + 1] = string.format("block %d.%d", tvb(28, 3):le_uint(), tvb(31, 1):uint()) .. of_path
    end
    words[#words + 1] = string.format("SPI %08x packet %s", tvb(4, 4):uint(), tostring(tvb(8, 8):uint64()))
    words[#words + 1] = string.format("%d bytes", tvb(24, 2):le_uint())
    if tvb(17, 1):bitfield(6, 1) == 1 then
        words[#words + 1] = "again"
    end
    return table.concat(words, ", ")
end

local function show(tvb, pinfo, root)
    local length = tvb:reported_len()
    pinfo.cols.protocol = "CAUSEWAY"
    local tree = root:add(causeway, tvb())
    if length < OVERHEAD_BYTES then
        tree:add_proto_expert_info(malformed, "Shorter than headers and tag")
        pinfo.cols.info = "malformed: shorter than headers and tag"
        return
    end
    if tvb:captured_len() < length then
        tree:add_proto_expert_info(cut)
    end
    if tvb:captured_len() < HEADER_BYTES then
        pinfo.cols.info = "not captured in full"
        return
    end
    local kind, broken = tvb(16, 1):uint() % 16, broken_rule(tvb)
    add_psp(tree, tvb)
    add_clear(tree, tvb, kind)
    if broken then
        tree:add_proto_expert_info(malformed, broken)
        pinfo.cols.info = "malformed: " .. broken
    elseif kind == HANDSHAKE then
        local name = add_handshake(tree, tvb)
        pinfo.cols.info = name
        tree:append_text(", " .. name)
    else
        local words = summary(tvb, kind)
        tree:append_text(", " .. words)
        local frames = add_payload(tree, tvb, kind)
        pinfo.cols.info = frames and words .. ": " .. frames or words
    end
end

-- By port: whatever begins like ours.
function causeway.dissector(tvb, pinfo, root)
    if tvb:captured_len() < 4 or tvb(0, 4):uint() ~= FIRST_BYTES then
        return 0
    end
    show(tvb, pinfo, root)
    return tvb:captured_len()
end

-- On any port: only what is ours without a doubt.
causeway:register_heuristic("udp", function(tvb, pinfo, root)
    if not causeway.prefs.heuristic or tvb:captured_len() < HEADER_BYTES or tvb:reported_len() < OVERHEAD_BYTES then
        return false
    end
    if broken_rule(tvb) then
        return false
    end
    show(tvb, pinfo, root)
    return true
end)

local udp = DissectorTable.get("udp.port")
local ports = causeway.prefs.ports
udp:add(ports, causeway)

function causeway.prefs_changed()
    if ports ~= causeway.prefs.ports then
        udp:remove(ports, causeway)
        ports = causeway.prefs.ports
        udp:add(ports, causeway)
    end
end

import STUN
import Testing

@testable import RelayCore

@Suite("Binding")
struct BindingTests {
    let relay = Relay()

    @Test("the answer has 32 bytes for IPv4 and 44 for IPv6")
    func answer() {
        let client = Client(relay, "198.51.100.1:5000")
        let request = encode(.request, .binding, client.nextTransaction(), [])
        #expect(client.deliver(request) == ["-> 198.51.100.1:5000: binding success mapped=198.51.100.1:5000"])
        #expect(relay.sent.map(\.bytes.count) == [32])

        let other = Client(relay, "[2001:db8::5]:5000")
        #expect(
            other.deliver(encode(.request, .binding, other.nextTransaction(), []))
                == ["-> [2001:db8::5]:5000: binding success mapped=[2001:db8::5]:5000"])
        #expect(relay.sent.map(\.bytes.count) == [44])
        #expect(relay.isEmpty)
        #expect(relay.core.counters[.binding, .success] == 2)
    }

    @Test("what need not be understood is passed over, what must be is 420")
    func unknownAttributes() {
        let client = Client(relay, "198.51.100.1:5000")
        let optional = encode(.request, .binding, client.nextTransaction(), [.raw(0xC001, [1, 2, 3])])
        #expect(client.deliver(optional) == ["-> 198.51.100.1:5000: binding success mapped=198.51.100.1:5000"])
        let required = encode(.request, .binding, client.nextTransaction(), [.raw(0x7001, []), .raw(0x0003, [0])])
        #expect(client.deliver(required) == ["-> 198.51.100.1:5000: binding 420 unknown=0x7001,0x3"])
    }

    @Test("a FINGERPRINT must be right, and is not answered in kind")
    func fingerprint() {
        let client = Client(relay, "198.51.100.1:5000")
        var request = encode(.request, .binding, client.nextTransaction(), [], fingerprint: true)
        #expect(client.deliver(request) == ["-> 198.51.100.1:5000: binding success mapped=198.51.100.1:5000"])
        request[request.count - 1] ^= 1
        #expect(client.deliver(request) == [])
        #expect(relay.core.counters[.malformed] == 1)
    }

    @Test("an indication is a keepalive; responses and strange methods are not answered")
    func silence() {
        let client = Client(relay, "198.51.100.1:5000")
        #expect(client.deliver(encode(.indication, .binding, client.nextTransaction(), [])) == [])
        #expect(relay.core.counters[.unexpected] == 0)
        for messageClass in [MessageClass.successResponse, .errorResponse] {
            for method in [STUN.Method.binding, .allocate, .data] {
                #expect(client.deliver(encode(messageClass, method, client.nextTransaction(), [])) == [])
            }
        }
        #expect(client.deliver(encode(.indication, .data, client.nextTransaction(), [])) == [])
        #expect(client.deliver(encode(.request, .send, client.nextTransaction(), [])) == [])
        #expect(client.deliver(encode(.request, Method(rawValue: 0x00A), client.nextTransaction(), [])) == [])
        #expect(relay.core.counters[.unexpected] == 9)
    }

    @Test("source port 0 cannot be answered, and an unknown socket belongs to nobody")
    func unanswerable() {
        let request = encode(.request, .binding, TransactionID(high: 1, low: 1), [])
        #expect(relay.deliver(request, on: Relay.Listener.ipv4.slot, from: "198.51.100.1:0") == ["dropped"])
        #expect(relay.core.counters[.unanswerable] == 1)
        relay.core.countUnanswerable()
        #expect(relay.core.counters[.unanswerable] == 2)
        #expect(relay.deliver(request, on: SocketSlot(index: 99), from: "198.51.100.1:5000") == ["dropped"])
        #expect(relay.deliver(request, on: SocketSlot(index: .max), from: "198.51.100.1:5000") == ["dropped"])
        #expect(relay.core.counters[.noAllocation] == 2)
    }
}

import RelayCore
import STUN

/// `--demo`: a relay that only this host can reach, with credentials made for this run.
struct Demo {
    let username = "demo"
    let password: String
    static let port: UInt16 = 3478
    /// Of loopback; a host without IPv6 has no ::1 to listen on.
    private let addresses: [IPAddress]

    init() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789")
        password = String((0..<16).map { _ in alphabet.randomElement(using: &generator) ?? "x" })
        let loopback = [IPAddress(v4: 0x7F00_0001), IPAddress(v6High: 0, low: 1)]
        // Where the host does not tell its addresses, the start says so.
        let own = (try? HostAddresses.all()) ?? loopback
        addresses = loopback.filter { own.contains($0) }
    }

    /// The settings of a demo; what concerns neither addresses nor credentials stays as asked for.
    func apply(to settings: Settings) -> Settings {
        var demo = settings
        demo.listen = addresses.map { TransportAddress($0, port: Self.port) }
        demo.relayAddresses = addresses
        demo.users = [StaticUser(name: username, password: password)]
        demo.allowPeers = addresses.map { CIDR(of: $0) }
        // The client that Debian ships draws from the old range.
        demo.acceptsRFC5766ChannelNumbers = true
        return demo
    }

    /// What a person needs to try it.
    func invitation(plane: String) -> String {
        """

        relayd demo: a TURN relay on loopback only, for as long as this runs.

          server     127.0.0.1:\(Self.port) and [::1]:\(Self.port) (UDP)
          username   \(username)
          password   \(password)
          data plane \(plane)

        Try it from another terminal (turnutils_uclient is in Debian's coturn package):

          turnutils_uclient -u \(username) -w \(password) -y -m 4 -n 100 -l 172 127.0.0.1

        Four clients send 100 messages each to one another through the relay; look for "Total lost packets 0".
        Ctrl-C ends the demo.

        """
    }
}

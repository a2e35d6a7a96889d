import NIOCore
import NIOSSL
import STUN

/// What the other side of TLS must show: a certificate for its name or address, vouched for by an authority that is
/// trusted here (RFC 9110 section 4.3.4).
struct ServerTrust: Sendable {
    private let context: NIOSSLContext
    /// Nothing for an address, which goes into no server name indication; it is held against the certificate all the same.
    private let name: String?

    /// - Parameters:
    ///   - host: the name or the address.
    ///   - authorities: their certificates in PEM; nothing for those that the host trusts.
    init(host: String, authorities: String?) throws(StartError) {
        name = IPAddress(host) == nil ? host : nil
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        do {
            if let authorities {
                configuration.trustRoots = .certificates(
                    try NIOSSLCertificate.fromPEMBytes(Array(authorities.utf8)))
            }
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            throw StartError(
                "otlp-ca-file: TLS cannot use its certificates: \(error); give certificates in PEM", .configuration)
        }
    }

    /// What goes in front of HTTP in a new connection.
    func makeHandler() throws -> NIOSSLClientHandler {
        try NIOSSLClientHandler(context: context, serverHostname: name)
    }

    /// What a failed handshake means to a person; nothing where it is not about certificates.
    static func explanation(of error: any Error) -> String? {
        let text = "\(error)"
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            return "no authority that is trusted here vouches for its certificate, or that has run out: otlp-ca-file "
                + "names an authority of your own"
        }
        if text.contains("WRONG_VERSION_NUMBER") { return "it does not speak TLS: is this its port for https?" }
        if let error = error as? NIOSSLExtraError, error == .failedToValidateHostname {
            return "its certificate is for another name"
        }
        return nil
    }
}

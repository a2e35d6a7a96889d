import FoundationEssentials
import NIOCore

/// One request for administration, read and allowed.
struct AdminCall: Sendable {
    /// What stands in the path where the route has `*`; empty where it has none.
    let argument: String
    let query: Query
    let body: ByteBuffer

    /// The body as JSON, if that fits.
    func decoded<Value: Decodable>(as type: Value.Type) -> Value? {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try? decoder.decode(type, from: Data(body.readableBytesView))
    }
}

/// Which way a payload goes. Rates are counted for each by itself.
@frozen
public enum RelayDirection: Int, Sendable {
    case toPeer, toClient
}

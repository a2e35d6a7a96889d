@testable import DataPlaneXDP

extension NetworkInterface {
    /// A card without faults, but for what a test gives it.
    static func sample(
        driver: String = "mlx5_core", mtu: UInt32 = 1500, isEthernet: Bool = true, hasLRO: Bool = false,
        stripsVLANTags: Bool = false,
        queueCount: Int = 8, largestQueueCount: Int = 8, xdpFeatures: UInt64? = 3
    ) -> NetworkInterface {
        NetworkInterface(
            index: 7, name: "eth7", driver: driver, mtu: mtu, ipv6MTU: mtu, mac: MACAddress((2, 0, 0, 0, 0, 7)),
            isEthernet: isEthernet,
            hasLRO: hasLRO, stripsVLANTags: stripsVLANTags, queueCount: queueCount,
            largestQueueCount: largestQueueCount, xdpFeatures: xdpFeatures)
    }
}
